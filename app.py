"""Residual Lens: `streamlit run app.py` is the whole product. The table of pages is dashboard/navigation.py."""

from dashboard.bootstrap import draw_frame, guarded

page = draw_frame()
with guarded():
    page.run()
