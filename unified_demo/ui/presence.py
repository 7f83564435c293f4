"""How the server learns that a window comes or goes: by its page script's word, and by its connection. ``work.py`` says what follows."""

import gradio as gr

from unified_demo.ui.work import Works


def add_presence(blocks: gr.Blocks, works: Works) -> None:
    """Call inside the page's ``gr.Blocks``."""

    def unload(request: gr.Request) -> None:
        works.disconnected(request.session_hash)

    gr.api(works.presence, api_name="presence", api_visibility="undocumented", queue=False)
    blocks.unload(unload)
