# Print the loginuid of the process that runs this, and nothing else.
echo "?"
