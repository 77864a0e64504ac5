# You are an ordinary user, in the group of labd's socket; sudo does not work here. Write to the file $WATCHED, which
# only root may do. podmanish and dockerish are on PATH.
touch "$WATCHED"
