"""What experiments do to networks: attack them, widen them, cut them, estimate BNTT anew."""
