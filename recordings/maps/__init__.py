"""The file of maps: its schema, its writer, and its checked reader."""
