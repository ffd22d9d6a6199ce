"""A script that explains where torch and Lava cannot be imported."""

EXPLAIN_WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys(("torch", "torchvision", "lightning", "snntorch", "lava")))  # imports of these fail
from spikesam.pipeline.cli.options import summary_of
from spikesam.pipeline.explain import main
main(sys.argv[1:])
"""
