"""The engine: a job is cut into ranges of 16 samples; a range is computed anywhere; results go to a
store.

job.py             what decides the bits of a run, what is kept of every sample, what it takes
prepare.py         from the settings of the command `run` to a job
first_run.py       the first run on a machine, while kernels are compiled
simulate.py        `spikesam.simulate`: from a network and data to a job, and to its raster
_compute.py        encode → simulate → record, explain, measure: the stream of samples, and stores
folder.py          a store: the folder of a run, which survives a kill; what `resume` does
range_file.py      the sealed file of up to 16 samples, of which that folder is made
compute_folder.py  a job computed in a folder: by one process, by several, or on a cluster
merge.py           all ranges together: raster.h5, sam.h5, and what is known of every sample
summary.py         the results of a run as `summary.json`
"""
