"""Whether all that lies on a figure lies within it."""

from matplotlib.figure import Figure


def assert_nothing_is_cut_off(figure: Figure) -> None:
    """Every text, label, legend and picture ends before the edge of the page."""
    figure.canvas.draw()
    page = figure.bbox
    for axes in figure.axes:
        extent = axes.get_tightbbox()
        assert extent.x0 >= -1 and extent.y0 >= -1 and extent.x1 <= page.x1 + 1 and extent.y1 <= page.y1 + 1, axes
        for text in axes.texts:
            extent = text.get_window_extent()
            assert extent.x0 >= -1 and extent.y0 >= -1, text
            assert extent.x1 <= page.x1 + 1 and extent.y1 <= page.y1 + 1, text
