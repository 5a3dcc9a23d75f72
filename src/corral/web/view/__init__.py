"""Turns values into what pages show: figures, sparklines, tables and the text of filters."""
