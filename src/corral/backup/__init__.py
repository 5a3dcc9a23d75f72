"""Backups: all rows of the schema at one moment, in one file, and their way back into an empty database."""
