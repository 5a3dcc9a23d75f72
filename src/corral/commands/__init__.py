"""What each command does, once `cli` has read the command line and the settings."""
