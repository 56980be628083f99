"""Residual Lens: `streamlit run app.py` is the whole product. The table of pages is dashboard/navigation.py."""

from dashboard.bootstrap import draw_frame, guarded
from dashboard.memory import collect_garbage

page = draw_frame()
try:
    with guarded():
        page.run()
finally:  # a page may also end by starting anew
    collect_garbage()
