"""What the experiments share: networks, images and recordings by their hash, measurements, drawing."""
