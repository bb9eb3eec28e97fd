import type { Call, Client } from './client.ts';
import type { paths } from './schema.d.ts';

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

/** The paths that take a method. */
type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never;
}[keyof paths];

type OperationOf<M extends Method, P extends PathOf<M>> = paths[P] extends Record<M, infer O> ? O : never;

type Content<R> = R extends { content: { 'application/json': infer T } } ? T : undefined;
type Answer<O> = O extends { responses: infer R } ? Content<R[keyof R & (200 | 201 | 202 | 204)]> : never;

type ParametersOf<O, Place extends string> = O extends { parameters: Record<Place, infer T> } ? T : undefined;
type Query<O> = O extends { parameters: { query?: infer Q } } ? Q : never;
type Body<O> = O extends { requestBody?: infer B } ? (B extends { content: { 'application/json': infer T } } ? T : never) : never;

/** A body that is no JSON, such as a definition. */
export interface Text {
  text: string;
  mediaType: string;
}

/** What goes to the client as it is. */
type Passed = 'idempotencyKey' | 'ifMatch' | 'signal' | 'anonymous';

type Options<O> = Pick<Call, Passed> & {
  query?: Query<O>;
  body?: Body<O> | Text;
} & (ParametersOf<O, 'path'> extends undefined ? { path?: undefined } : { path: ParametersOf<O, 'path'> });

type Arguments<O> = ParametersOf<O, 'path'> extends undefined ? [options?: Options<O>] : [options: Options<O>];

/** The calls of the OpenAPI document: another path, parameter, body or answer does not compile. */
export class Api {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Also gives the `ETag`, for a `put` that must not overwrite what somebody else changed. */
  async getTagged<P extends PathOf<'get'>>(
    path: P,
    ...[options]: Arguments<OperationOf<'get', P>>
  ): Promise<{ value: Answer<OperationOf<'get', P>>; tag: string | null }> {
    const response = await this.#client.send(address(path, options), callOf('GET', options));
    return { value: (await response.json()) as Answer<OperationOf<'get', P>>, tag: response.headers.get('etag') };
  }

  get<P extends PathOf<'get'>>(path: P, ...[options]: Arguments<OperationOf<'get', P>>): Promise<Answer<OperationOf<'get', P>>> {
    return this.#client.json(address(path, options), callOf('GET', options));
  }

  post<P extends PathOf<'post'>>(path: P, ...[options]: Arguments<OperationOf<'post', P>>): Promise<Answer<OperationOf<'post', P>>> {
    return this.#client.json(address(path, options), callOf('POST', options));
  }

  put<P extends PathOf<'put'>>(path: P, ...[options]: Arguments<OperationOf<'put', P>>): Promise<Answer<OperationOf<'put', P>>> {
    return this.#client.json(address(path, options), callOf('PUT', options));
  }

  patch<P extends PathOf<'patch'>>(
    path: P,
    ...[options]: Arguments<OperationOf<'patch', P>>
  ): Promise<Answer<OperationOf<'patch', P>>> {
    return this.#client.json(address(path, options), callOf('PATCH', options));
  }

  delete<P extends PathOf<'delete'>>(
    path: P,
    ...[options]: Arguments<OperationOf<'delete', P>>
  ): Promise<Answer<OperationOf<'delete', P>>> {
    return this.#client.json(address(path, options), callOf('DELETE', options));
  }
}

interface Loose extends Pick<Call, Passed> {
  path?: unknown;
  query?: unknown;
  body?: unknown;
}

function callOf(method: Call['method'], options: Loose = {}): Call {
  const { path: _, query, body, ...rest } = options;
  const call: Call = { method, ...rest, query: query as Call['query'] };
  if (isText(body)) return { ...call, body: body.text, contentType: body.mediaType };
  return { ...call, body };
}

function isText(body: unknown): body is Text {
  return typeof body === 'object' && body !== null && 'mediaType' in body && 'text' in body;
}

/** Puts the parameters into the path. */
export function address(path: string, options: { path?: unknown } = {}): string {
  const values = (options.path ?? {}) as Record<string, string>;
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ''));
}
