"""Outcomes: each word has a weight."""

import pytest

from alma_etl.jobs.outcomes import OPEN, REFUSED, RowOutcome


def test_a_word_that_hides_the_weight_of_the_next_one_is_refused():
    with pytest.raises(TypeError, match="conflict has no weight"):

        class Hidden(RowOutcome):
            REFUSED = "refused", "the system said no", REFUSED
            CONFLICT = "conflict", "somebody else was there", REFUSED
            FAILED = "failed", "nothing is known", OPEN
