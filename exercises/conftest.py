"""The checks of the exercises: see scenarios/classroom/plugin.py for --work and for what a check may use."""

pytest_plugins = ["scenarios.classroom.plugin"]
