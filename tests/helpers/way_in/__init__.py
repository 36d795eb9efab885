"""Generated situations of commands: files, names, places and flags."""
