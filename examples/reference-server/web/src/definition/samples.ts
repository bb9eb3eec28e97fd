import sample from './sample.yaml?raw';

/** A definition that works on every server, offline: it calls only the built-in `echo`. */
export const SAMPLE = sample;
export const SAMPLE_ADDRESS = { namespace: 'finance', name: 'invoice-approval' };

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
