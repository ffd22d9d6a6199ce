"""A script that explains where torch and Lava cannot be imported."""

EXPLAIN_WITHOUT_TORCH = """
import sys
# Imports of these fail.
sys.modules.update(dict.fromkeys(("torch", "torchvision", "lightning", "snntorch", "lava")))
from spikesam.pipeline.cli.options import summary_of
from spikesam.pipeline.explain import main
main(sys.argv[1:])
"""
