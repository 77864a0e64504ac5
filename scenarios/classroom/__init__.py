"""The class: exercises that check themselves.

exercise   what an exercise is: a folder of exercises/, its exercise.toml
student    who learns here, and acting with that user's own rights
desk       where the student works and what has been done: ~/loginuid-exercises, progress.json
seeds      names and numbers that differ by student; cases: which exercise draws which
beginning  copy or make what a student begins with
checking   run an exercise's test_*.py on the student's folder, in a process of its own
lessons    for a check: what a failure teaches, and what it reads of the student's folder
plugin     pytest's: `work`, `stage`, `arrived`, `kernel_said`, --work
evidence   what a check that passed has seen; answers: answers.toml, judged without running anything
classes    a class's code and keys, the seed of a student; sealing: a hand-in as bytes; submission: what is in it
grading    marks of a hand-in; suspicion: what a teacher should look at; reports: CSV, JUnit, Gradescope, HTML
handing    `lab class new`, `lab exercise submit`, `lab grade`; reading: a file that somebody else has made
changing   play a story with the student's change of the lab
room       for a check: the lab's lock and journal, a login, labd, a file to watch
showing    how an exercise and a result are drawn
typed      what the student types for `lab`
verbs      `lab exercise`; learn: `lab learn`; waking: what wakes that loop
"""
