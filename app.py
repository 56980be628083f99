"""Residual Lens: `streamlit run app.py` is the whole product. The table of pages is dashboard/navigation.py."""

from dashboard.bootstrap import draw_frame, guarded
from dashboard.memory import set_libraries_apart

page = draw_frame()
try:
    with guarded():
        page.run()
finally:  # a page may also end by starting anew
    set_libraries_apart()
