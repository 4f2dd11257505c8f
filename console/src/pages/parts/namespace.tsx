// What a page of one namespace shows where the address names none: the namespaces to choose from.
import { namespaces } from "../../api/catalog";
import { href, place } from "../../router";
import { Empty } from "../../ui/states";

export function ChooseNamespace({ what }: { what: string }) {
  const all = namespaces.value;
  if (all.length === 0) {
    return <Empty title="No namespace"><p>There is no config that you may read, so there are no {what} to show.</p></Empty>;
  }
  return (
    <section class="panel" aria-label="Namespaces">
      <header><h2>Choose a namespace to see its {what}</h2></header>
      <ul class="body row wrap">
        {all.map(({ name }) => <li key={name}><a class="button" href={href(place.value.path, { ns: name })}>{name}</a></li>)}
      </ul>
    </section>
  );
}
