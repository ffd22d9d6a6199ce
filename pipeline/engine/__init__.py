"""The engine: a job is cut into ranges of 16 samples; a range is computed anywhere; results go to a store.

keep.py          what is kept of every sample
job.py           what decides the bits of a run, and what computing it takes
prepare.py       from the settings of the command `run` to a job
simulate.py      `spikesam.simulate`: from a network and data to a job, and to its raster
compute.py       encode → simulate → record, explain, measure: the stream of samples, and what a store is
sample.py        one sample that fired; formed_maps.py: one of which the backend formed the maps
memory.py        a store: the raster stays in memory
folder.py        a store: the folder of a run, which survives a kill; what `resume` does
range_file.py    the sealed file of up to 16 samples, of which that folder is made until it is merged
range_check.py   whether such a file, whoever wrote it, holds what a run would have written
compute_folder.py  a job computed in a folder: by one process, by several that share it, or on a cluster (cluster.py)
merge.py         all ranges together: raster.h5 (whole_raster.py), sam.h5, and what is known of every sample
finished.py      a run that was finished before
summary.py       the results of a run as `summary.json`
"""
