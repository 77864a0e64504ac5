import os
import sys

with open(sys.argv[1] + ".new", "w") as file:
    file.write("changed")
os.replace(sys.argv[1] + ".new", sys.argv[1])
