export function EmbedPage({ id }: { id: string }) {
  return <p>Execution {id}</p>;
}
