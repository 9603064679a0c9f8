"""Charts: what is drawn is what the numbers say."""

from alma_etl.views.charts import HEIGHT, WIDTH, stacked_bars

SERIES = ("good", "bad")


def test_bars_stand_on_each_other_and_within_the_picture():
    chart = stacked_bars("Nights", SERIES, {"Mar 1": (30, 10), "Mar 2": (0, 0), "Mar 3": (0, 80)})
    good, bad, later = chart.pieces
    assert good.y + good.height == chart.base
    assert round(bad.y + bad.height, 2) == good.y
    assert round(good.height / bad.height, 1) == 3.0
    assert later.y >= 0
    assert later.x + later.width <= WIDTH
    assert (good.title, bad.title) == ("Mar 1, good: 30", "Mar 1, bad: 10")
    assert chart.beside[1].text == "80"
    assert chart.table == [("Mar 1", [30, 10]), ("Mar 2", [0, 0]), ("Mar 3", [0, 80])]
    assert chart.summary == "Nights: 30 good, 90 bad."


def test_nothing_and_one_can_be_drawn():
    assert stacked_bars("Nights", SERIES, {}).summary == "Nights: nothing."
    nothing = stacked_bars("Nights", SERIES, {"Mar 1": (0, 0)})
    assert (nothing.pieces, nothing.beside[1].text) == ([], "1")
    (one,) = stacked_bars("Nights", SERIES, {"Mar 1": (1, 0)}).pieces
    assert one.height > HEIGHT / 2


def test_many_bars_have_few_labels():
    bars = {str(number): (12_345, 0) for number in range(100)}
    chart = stacked_bars("Hours", SERIES, bars)
    assert len(chart.below) <= 8
    assert chart.beside[1].text == "13k"
    assert chart.pieces[0].title == "0, good: 12,345"
