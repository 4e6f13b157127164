"""`make run`: every program of Tollgate on one machine, under one supervisor, without containers."""
