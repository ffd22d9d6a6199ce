"""The experiments of Kim & Panda 2021, one module each, and what they share: `python -m paper
fig8`.
"""
