"""What the experiments share: networks, images and recordings, all cached; maps and scores of them; claims, results."""
