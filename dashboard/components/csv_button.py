"""The numbers behind a picture, to take away."""

from collections.abc import Callable

import streamlit as st


def csv_button(data: Callable[[], bytes], file_name: str, *, help: str, key: str) -> None:
    """An icon that downloads `data`, which is made when it is clicked; the page does not run again."""
    st.download_button(
        "", data=data, file_name=file_name, mime="text/csv", icon=":material/download:", help=help, key=key, on_click="ignore"
    )
