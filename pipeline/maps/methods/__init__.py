"""The methods of maps, one a file: whatever lies here is one; see
:mod:`spikesam.pipeline.maps.method`.
"""
