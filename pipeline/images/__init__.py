"""From a data set to the input of a network.

==========================  ===========================================================================
:mod:`.datasets`            open a data set; one module for each
:mod:`.samples`             choose samples of a data set for a run, and read each once
:mod:`.preprocessing`       images, and :mod:`.events`: recordings of events, in the size of the input
:mod:`.encoding`            images as spikes or currents
:mod:`.open_samples`        the above from whatever a caller of `simulate` has
==========================  ===========================================================================
"""
