"""Parts of experiments: networks, images and recordings, all cached; maps and scores of them;
claims, results.
"""
