"""What stands beside a student's code in the container of the grader."""
