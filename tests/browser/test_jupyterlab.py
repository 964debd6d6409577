"""What a student and an author of a week do in JupyterLab."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parents[2]
SLUG = "week05_conv"

PANEL = "[...window.jupyterapp.shell.widgets('main')][0]"  # the one notebook that is open

# Is every cell that was asked for done?
IDLE = """() => {
    const panel = [...window.jupyterapp.shell.widgets('main')][0];
    const kernel = panel && panel.sessionContext && panel.sessionContext.session && panel.sessionContext.session.kernel;
    return kernel && kernel.status === 'idle' && panel.content.widgets.every(
        cell => !cell.promptNode || cell.promptNode.textContent.trim() !== '[*]:');
}"""
ACTIVATE = """id => {
    const notebook = [...window.jupyterapp.shell.widgets('main')][0].content;
    const place = notebook.widgets.findIndex(cell => cell.model.id === id);
    notebook.activeCellIndex = place;
    notebook.scrollToItem(place);
    return place;
}"""
OUTPUT = """id => {
    const cell = [...window.jupyterapp.shell.widgets('main')][0].content.widgets.find(cell => cell.model.id === id);
    return cell.outputArea.node.innerText;
}"""


def opened(page: Any, address: str, cells: int) -> None:
    """Wait until the notebook is there, with so many cells and a kernel."""
    page.goto(address)
    page.wait_for_selector(".jp-Notebook-cell")
    page.wait_for_function(f"() => {PANEL}?.content.widgets.length === {cells}")
    page.wait_for_function(IDLE)


def execute(page: Any, command: str, arguments: dict[str, str] | None = None) -> None:
    """An entry of JupyterLab's menus."""
    page.evaluate("([id, args]) => window.jupyterapp.commands.execute(id, args)", [command, arguments or {}])


def test_a_student_fills_in_q1_and_checks_it(page: Any, jupyter: Any, shot: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ROOT / "release" / SLUG, tmp_path / SLUG))
    cells = len(nbformat.read(folder / f"{SLUG}.ipynb", as_version=4).cells)
    solution = nbformat.read(ROOT / "solutions" / SLUG / f"{SLUG}.ipynb", as_version=4)
    answer = next(cell.source for cell in solution.cells if cell.id == "q1-code-1")
    opened(page, jupyter(folder).format(f"lab/tree/{SLUG}.ipynb"), cells)
    shot(page, "opened")

    assert page.evaluate(ACTIVATE, "q1-check") > 0
    execute(page, "notebook:run-all-above")  # nothing is filled in yet
    page.wait_for_function(IDLE)
    page.evaluate(ACTIVATE, "q1-check")
    execute(page, "notebook:run-cell")
    page.wait_for_function(IDLE)
    assert "failed" in page.evaluate(OUTPUT, "q1-check")
    shot(page, "not-yet")

    page.evaluate(ACTIVATE, "q1-code-1")
    page.locator(".jp-mod-active .cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(answer)
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(IDLE)
    page.evaluate(ACTIVATE, "q1-check")
    page.locator(".jp-mod-active .cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(IDLE)
    said = page.evaluate(OUTPUT, "q1-check")
    shot(page, "passed")
    assert "q1" in said
    assert "passed" in said
    assert "failed" not in said


def test_the_source_of_a_week_opens_as_a_notebook(page: Any, jupyter: Any, shot: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ROOT / "source" / SLUG, tmp_path / SLUG))
    page.goto(jupyter(folder).format("lab"))
    page.wait_for_function("() => window.jupyterapp && window.jupyterapp.commands.hasCommand('docmanager:open')")
    execute(page, "docmanager:open", {"path": f"{SLUG}.py", "factory": "Notebook"})
    page.wait_for_selector(".jp-Notebook-cell")
    first = f"{PANEL}?.content.widgets?.[0]?.model"
    page.wait_for_function(f"() => {first}?.sharedModel.getSource().startsWith('# ASSIGNMENT CONFIG')")
    assert page.evaluate(f"{first}.type") == "raw"
    assert page.evaluate(f"{PANEL}.content.widgets.length") > 50
    shot(page, "source")
