"""`tollgate status`: the state of everything on one screen of a terminal."""
