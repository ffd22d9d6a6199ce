"""Maps of where layers attend: SAM from recorded spikes, Grad-CAM through gradients, and the file
they go to.
"""
