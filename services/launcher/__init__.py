"""`make run`: starts every program of a stack under one supervisor, without containers, and stops it."""
