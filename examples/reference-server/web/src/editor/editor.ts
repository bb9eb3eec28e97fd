// The text editor, in a chunk of its own. Nothing here knows Svelte.
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { json } from '@codemirror/lang-json';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, foldGutter, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from '@codemirror/lint';
import { Compartment, EditorState } from '@codemirror/state';
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { ProblemItem } from '../api/types.ts';

export type Language = 'yaml' | 'json';

export interface EditorOptions {
  parent: HTMLElement;
  text: string;
  language: Language;
  label: string;
  onChange: (text: string) => void;
}

export interface Editor {
  text: () => string;
  setText: (text: string) => void;
  setLanguage: (language: Language) => void;
  setProblems: (problems: ProblemItem[]) => void;
  /** Puts the cursor at a place, both counted from 1. */
  jump: (line: number, column: number) => void;
  focus: () => void;
  destroy: () => void;
}

/**
 * Makes an editor. It lives in a shadow root, where CodeMirror uses adopted style sheets: in the
 * page itself it would need inline styles, which the security policy forbids.
 */
export function createEditor(options: EditorOptions): Editor {
  const language = new Compartment();
  const root = options.parent.shadowRoot ?? options.parent.attachShadow({ mode: 'open' });
  root.replaceChildren();
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        lineNumbers(),
        highlightActiveLineGutter(),
        highlightActiveLine(),
        history(),
        foldGutter(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        lintGutter(),
        EditorState.tabSize.of(2),
        keymap.of([indentWithTab, ...defaultKeymap, ...historyKeymap, ...lintKeymap]),
        language.of(languageOf(options.language)),
        syntaxHighlighting(COLOURS),
        LOOK,
        EditorView.contentAttributes.of({
          tabindex: '0',
          'aria-label': `${options.label}. Press Escape, then Tab, to leave the editor.`,
        }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    text: () => view.state.doc.toString(),
    setText: (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    setLanguage: (next) => view.dispatch({ effects: language.reconfigure(languageOf(next)) }),
    setProblems: (problems) => {
      const found = problems.map((problem) => diagnosticOf(view.state, problem));
      view.dispatch(setDiagnostics(view.state, found));
    },
    jump: (line, column) => {
      const at = place(view.state, line, column);
      view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: 'center' }) });
      view.focus();
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}

function languageOf(language: Language) {
  return language === 'json' ? json() : yaml();
}

/** The offset of a place; one beyond the text is brought back into it. */
function place(state: EditorState, line: number, column: number): number {
  const found = state.doc.line(Math.min(Math.max(line, 1), state.doc.lines));
  return Math.min(found.from + Math.max(column, 1) - 1, found.to);
}

function diagnosticOf(state: EditorState, problem: ProblemItem): Diagnostic {
  const line = problem.line ?? 1;
  const from = place(state, line, problem.column ?? 1);
  let to = problem.end_line ? place(state, problem.end_line, problem.end_column ?? 1) : from;
  // A mark needs something to stand under: the word at the place, or what is left of the line.
  if (to <= from) to = state.wordAt(from)?.to ?? state.doc.lineAt(from).to;
  const message = problem.hint ? `${problem.detail}\n${problem.hint}` : problem.detail;
  return { from: Math.min(from, to), to: Math.max(from, to), severity: 'error', message };
}

const COLOURS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--code-key)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--code-text)' },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword, tags.atom], color: 'var(--code-number)' },
  { tag: tags.comment, color: 'var(--text-3)', fontStyle: 'italic' },
  { tag: [tags.punctuation, tags.separator, tags.brace, tags.squareBracket], color: 'var(--text-3)' },
  { tag: tags.invalid, color: 'var(--faulted)' },
]);

const LOOK = EditorView.theme({
  '&': { height: '100%', color: 'var(--text)', backgroundColor: 'var(--surface)', fontSize: '12.5px' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '20px', overflow: 'auto' },
  '.cm-content': { padding: '8px 0', caretColor: 'var(--accent)' },
  '.cm-line': { padding: '0 16px 0 8px' },
  '.cm-gutters': { backgroundColor: 'var(--surface)', color: 'var(--text-3)', border: 'none' },
  '.cm-lineNumbers .cm-gutterElement': { minWidth: '36px', fontVariantNumeric: 'tabular-nums' },
  '.cm-activeLine, .cm-activeLineGutter': {
    backgroundColor: 'color-mix(in oklab, var(--text) 4%, transparent)',
  },
  '.cm-cursor': { borderLeftColor: 'var(--accent)', borderLeftWidth: '2px' },
  '.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': {
    backgroundColor: 'color-mix(in oklab, var(--accent) 22%, transparent)',
  },
  '.cm-matchingBracket, &.cm-focused .cm-matchingBracket': {
    backgroundColor: 'color-mix(in oklab, var(--accent) 18%, transparent)',
  },
  // The arrows of a long text are noise until somebody reaches for them.
  '.cm-foldGutter span': { opacity: '0' },
  '.cm-gutters:hover .cm-foldGutter span, .cm-foldGutter span[title="Unfold line"]': { opacity: '1' },
  '.cm-foldPlaceholder': { background: 'var(--hover)', border: 'none', color: 'var(--text-2)', padding: '0 4px' },
  '.cm-tooltip': {
    border: '1px solid var(--line-strong)',
    borderRadius: '6px',
    backgroundColor: 'var(--raised)',
    color: 'var(--text)',
    boxShadow: 'var(--float)',
    maxWidth: '480px',
    fontFamily: 'var(--sans)',
  },
  '.cm-diagnostic': { padding: '6px 10px', whiteSpace: 'pre-wrap' },
  '.cm-diagnostic-error': { borderLeft: '3px solid var(--faulted)' },
  '.cm-lintRange-error': {
    backgroundImage: 'none',
    textDecoration: 'underline wavy var(--faulted) 1px',
    textUnderlineOffset: '3px',
  },
  '.cm-lint-marker-error': { content: 'none' },
  '.cm-lint-marker': { width: '8px', height: '8px', margin: '6px 0 0 3px' },
  '.cm-lint-marker.cm-lint-marker-error': { borderRadius: '50%', backgroundColor: 'var(--faulted)' },
});
