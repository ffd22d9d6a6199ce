"""This project's Lava Processes and models; Lava executes every module beside one of a Process,
under its bare name.
"""
