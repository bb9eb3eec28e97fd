const make = (tag, attributes = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
};

const start = (spec) => {
  const named = (schema) => (schema?.$ref ? spec.components.schemas[schema.$ref.split('/').pop()] : schema);

  /** Writes a schema as an outline, deep enough to be of use. */
  const outline = (schema, indent = '', depth = 0) => {
    const resolved = named(schema) ?? {};
    const type = resolved.type ?? 'any';
    const mark = resolved.nullable ? ' | null' : '';
    if (depth > 5) return `…${mark}`;
    if (type === 'array') return `[${outline(resolved.items, indent, depth + 1)}]${mark}`;
    if (resolved.enum) return resolved.enum.map((word) => JSON.stringify(word)).join(' | ') + mark;
    if (!resolved.properties) return (resolved.format ? `${type} (${resolved.format})` : type) + mark;
    const inner = `${indent}  `;
    const lines = Object.entries(resolved.properties).map(([name, property]) => {
      const optional = resolved.required?.includes(name) ? '' : '?';
      const about = property.description ? `  // ${property.description}` : '';
      return `${inner}${name}${optional}: ${outline(property, inner, depth + 1)}${about}`;
    });
    return `{\n${lines.join('\n')}\n${indent}}${mark}`;
  };

  const content = (parts) =>
    Object.entries(parts ?? {}).flatMap(([type, { schema }]) => [
      make('code', { textContent: type }),
      make('pre', { textContent: outline(schema) }),
    ]);

  const parameters = (list) =>
    make(
      'table',
      {},
      make('tr', {}, ...['Name', 'In', 'Type', 'Meaning'].map((text) => make('th', { textContent: text }))),
      ...list.map((parameter) =>
        make(
          'tr',
          {},
          make('td', {}, make('code', { textContent: parameter.name + (parameter.required ? '' : '?') })),
          make('td', { textContent: parameter.in }),
          make('td', { textContent: outline(parameter.schema) }),
          make('td', { textContent: parameter.description ?? '' }),
        ),
      ),
    );

  const call = (path, method, operation) => {
    const body = make('div');
    if (operation.description) body.append(make('p', { textContent: operation.description }));
    if (operation.security) body.append(make('p', { textContent: 'Needs an access token.' }));
    if (operation.parameters?.length) body.append(make('h3', { textContent: 'Parameters' }), parameters(operation.parameters));
    if (operation.requestBody) body.append(make('h3', { textContent: 'Body' }), ...content(operation.requestBody.content));
    for (const [status, response] of Object.entries(operation.responses)) {
      const line = `${status} ${response.description ?? ''}`;
      body.append(make('h3', { textContent: line }));
      if (status.startsWith('2')) body.append(...content(response.content));
    }
    return make(
      'details',
      { id: operation.operationId },
      make(
        'summary',
        {},
        make('span', { className: 'method', textContent: method.toUpperCase() }),
        make('code', { textContent: spec.servers[0].url + path }),
        make('span', { className: 'what', textContent: operation.summary ?? '' }),
      ),
      body,
    );
  };

  document.querySelector('#title').textContent = `${spec.info.title} API ${spec.info.version}`;
  document.querySelector('#about').textContent = spec.info.description ?? '';
  const groups = new Map();
  for (const [path, operations] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const group = operation.tags?.[0] ?? 'Other';
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(call(path, method, operation));
    }
  }
  const calls = document.querySelector('#calls');
  calls.replaceChildren();
  for (const [group, entries] of groups) calls.append(make('h2', { textContent: group }), ...entries);
  if (location.hash) document.querySelector(location.hash)?.setAttribute('open', '');
};

fetch('/api/v1/openapi.json')
  .then((response) => response.json())
  .then(start)
  .catch((error) => {
    document.querySelector('#calls').textContent = `The document could not be read: ${error}`;
  });
