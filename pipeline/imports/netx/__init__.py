"""lava-dl's network exchange: `.net` files of networks for Loihi, in integers, as networks in fixed
point.
"""
