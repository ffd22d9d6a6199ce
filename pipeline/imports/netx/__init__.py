"""lava-dl's network exchange: `.net` files of networks for Loihi, in integers, as networks in fixed point.

`from_netx` reads them. What a network cannot hold is refused by an error that names
the layer.
"""
