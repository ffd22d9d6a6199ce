"""Against bad luck and bad files: damaged inputs, kills, full disks, commands that meet; see
docs/trust.md.
"""
