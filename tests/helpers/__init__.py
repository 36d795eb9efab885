"""What several test files use."""

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in ("commands", "images", "oracles", "records", "runs", "text", "way_in", "workplace")
    )
)
