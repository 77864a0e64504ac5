"""The class: exercises that check themselves.

exercise   what an exercise is: a folder of exercises/, its exercise.toml
student    who learns here, and acting with that user's own rights
desk       where the student works and what has been done: ~/loginuid-exercises, progress.json
checking   run an exercise's test_*.py on the student's folder, in a process of its own
lessons    for a check: what a failure teaches, and what it reads of the student's folder
plugin     pytest's: `work`, `stage`, `arrived`, `kernel_said`, --work
room       for a check: the lab's lock and journal, a login, labd, a file to watch
showing    how an exercise and a result are drawn
verbs      `lab exercise`; learn: `lab learn`; waking: what wakes that loop
"""
