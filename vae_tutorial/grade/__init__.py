"""Grading a class: assignments, the students' functions in processes of their own, and what is reported.

From a terminal, ``python -m vae_tutorial.grade ASSIGNMENT SUBMISSIONS…`` grades, and ``python -m
vae_tutorial.grade.make`` writes notebooks and the folders of other graders; the book's page for teachers shows both.
"""

from vae_tutorial.grade.assignment import Assignment, Question, load, question

__all__ = ["Assignment", "Question", "load", "question"]
