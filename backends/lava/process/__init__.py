"""This project's Lava Processes and ProcessModels.

They have a folder of their own, and import absolutely, because Lava executes every module beside a Process's module,
under its bare name, when it looks for models.
"""
