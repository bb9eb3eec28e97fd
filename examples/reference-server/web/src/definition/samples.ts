import sample from './sample.yaml?raw';

/**
 * A definition that works on every server, offline: it calls only the built-in `echo`. Its name
 * is none of the demo's samples, which a tenant may have already.
 */
export const SAMPLE = sample;

/** What a new definition starts from. */
export const BLANK = `document:
  dsl: '1.0.3'
  namespace: default
  name: new-workflow
  version: '1.0.0'
do:
  - greet:
      call: echo
      with:
        message: Hello
`;
