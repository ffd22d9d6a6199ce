"""A run as ranges of 16 samples: each is simulated, recorded, explained and measured for itself, anywhere, then merged.

plan.py     what the run computes, the same for all who take part
files.py    what a finished range leaves, and whether it is whole
compute.py  a range, or many of them in one stream: encode → simulate → record, explain, measure
merge.py    all ranges together: raster.h5, sam.h5, and the scores
share.py    which ranges the K-th of N processes takes
cluster.py  ranges on a dask cluster
"""
